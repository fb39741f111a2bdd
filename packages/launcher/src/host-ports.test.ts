import assert from 'node:assert/strict'
import { createServer, type AddressInfo } from 'node:net'
import { test } from 'node:test'
import { checkPorts } from './host-ports.ts'

test('checkPorts() refuses a port that is taken, and takes it when it is free', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await assert.rejects(checkPorts([{ host: port, guest: 80 }]), { code: 'host.port-taken' })
  await new Promise((resolve) => server.close(resolve))
  await checkPorts([{ host: port, guest: 80 }])
})

test('checkPorts() refuses a port named twice and an address of another host', async () => {
  const port = { host: 40999, guest: 80 }
  await assert.rejects(checkPorts([port, { ...port, guest: 81 }]), { code: 'host.port-taken' })
  await assert.rejects(checkPorts([{ ...port, hostAddress: '192.0.2.1' }]), {
    code: 'host.port-taken',
  })
})
