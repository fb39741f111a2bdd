import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { TeeAnswerSchema, TEE_PORT_LIMITS, type TeeAnswer } from '@cloister/protocol/tee-port'
import { LineSplitter } from '../line-splitter.ts'
import { TeePortServer, type AnswerRequest } from './tee-port-server.ts'

/** The guest's end: what it sends, and as many answers as it waits for. */
async function talk(
  answer: AnswerRequest,
  sent: readonly (string | Buffer)[],
  count: number,
): Promise<TeeAnswer[]> {
  const directory = await mkdtemp(join(tmpdir(), 'tee-'))
  const path = join(directory, 's')
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(path, resolve))
  const connected = once(server, 'connection') as Promise<[Socket]>
  const port = new TeePortServer(path, answer)
  const [guest] = await connected
  const lines = new LineSplitter(TEE_PORT_LIMITS.answerBytes)
  const answers: TeeAnswer[] = []
  const all = new Promise<void>((resolve) => {
    guest.on('data', (chunk: Buffer) => {
      for (const line of lines.push(chunk)) answers.push(TeeAnswerSchema.parse(JSON.parse(line)))
      if (answers.length >= count) resolve()
    })
  })
  for (const piece of sent) guest.write(piece)
  await all
  await port[Symbol.asyncDispose]()
  server.close()
  await rm(directory, { recursive: true })
  return answers
}

const ID = '0123456789abcdef'
const request = (change: object = {}) =>
  `${JSON.stringify({ id: ID, op: 'report', reportData: '00'.repeat(64), vmpl: 0, ...change })}\n`
const echo: AnswerRequest = ({ reportData, vmpl }) => ({
  report: Buffer.from(reportData).toString('base64'),
  certificates: Buffer.from(String(vmpl)).toString('base64'),
})

test('TeePortServer answers requests in order, with their ids', async () => {
  const other = 'fedcba9876543210'
  const answers = await talk(echo, [request(), request({ id: other, vmpl: 3 })], 2)
  assert.deepEqual(
    answers.map(({ id }) => id),
    [ID, other],
  )
  assert.ok(answers.every((answer) => 'report' in answer))
})

test('TeePortServer answers a run of requests not faster than one in 20 ms', async () => {
  const times: number[] = []
  const timed: AnswerRequest = (asked) => {
    times.push(performance.now())
    return echo(asked)
  }
  await talk(timed, [request().repeat(4)], 4)
  const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0))
  // Timers are whole milliseconds.
  assert.ok(
    gaps.every((gap) => gap >= 19),
    gaps.join(', '),
  )
})

const MALFORMED: Readonly<Record<string, string>> = {
  'no JSON': 'x\n',
  'another operation': request({ op: 'derive-key' }),
  'VMPL 4': request({ vmpl: 4 }),
  'a negative VMPL': request({ vmpl: -1 }),
  'short REPORT_DATA': request({ reportData: '00' }),
  'a member that nobody knows': request({ hostData: '00' }),
  'an id of another form': request({ id: '1' }),
}
for (const [name, text] of Object.entries(MALFORMED))
  test(`TeePortServer answers ${name} with an error and goes on`, async () => {
    const answers = await talk(echo, [text, request()], 2)
    assert.deepEqual(answers[0], { id: '0000000000000000', error: 'malformed' })
    assert.equal(answers[1]?.id, ID)
  })

test('TeePortServer drops an endless line and goes on after it', async () => {
  const answers = await talk(echo, ['x'.repeat(100_000), '\n', request()], 1)
  assert.equal(answers[0]?.id, ID)
})

test('TeePortServer says that a report failed, and not why', async () => {
  const fail: AnswerRequest = () => {
    throw new Error('secret reason')
  }
  assert.deepEqual(await talk(fail, [request()], 1), [{ id: ID, error: 'failed' }])
})

test('TeePortServer asks for nothing more of a guest that does not read its answers', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'tee-'))
  const path = join(directory, 's')
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(path, resolve))
  const connected = once(server, 'connection') as Promise<[Socket]>
  let asked = 0
  const certificates = 'A'.repeat(4 << 20)
  const port = new TeePortServer(path, () => {
    asked++
    return { report: '', certificates }
  })
  const [guest] = await connected
  t.after(async () => {
    await port[Symbol.asyncDispose]()
    guest.destroy()
    server.close()
    await rm(directory, { recursive: true })
  })
  guest.pause()
  guest.write(request().repeat(10))
  await new Promise((resolve) => setTimeout(resolve, 300))
  assert.equal(asked, 1)
})
