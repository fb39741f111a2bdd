// The least that can stand in for the agent: it says that it is there, and stays.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

const folder = '/sys/class/virtio-ports'
const port = readdirSync(folder).find(
  (name) => readFileSync(`${folder}/${name}/name`, 'utf8').trim() === 'cloister.stage',
)
writeFileSync(`/dev/${port}`, `50 agent ${Math.round(process.uptime() * 1000)}\n`)
setInterval(() => undefined, 1 << 30)
