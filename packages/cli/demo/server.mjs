// The demo's web service. It proves that it holds the secret without ever showing it: an HMAC over the caller's nonce.
import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'

const PORT = 8080
const secret = readFileSync('/run/secrets/demo')

const server = createServer((request, response) => {
  const nonce = new URL(request.url ?? '/', 'http://guest').searchParams.get('nonce') ?? ''
  const valid = /^[0-9a-f]{32,128}$/.test(nonce)
  const answer = valid
    ? {
        service: 'cloister demo',
        nonce,
        proof: createHmac('sha256', secret).update(nonce).digest('hex'),
      }
    : { service: 'cloister demo', usage: '/?nonce=<32 to 128 hex digits>' }
  response.writeHead(valid ? 200 : 400, { 'content-type': 'application/json' })
  response.end(`${JSON.stringify(answer)}\n`)
})

process.once('SIGTERM', () => {
  server.close()
  server.closeAllConnections()
})
server.listen(PORT, () => {
  console.log(`listening on ${PORT}`)
})
