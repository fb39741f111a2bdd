import { randomBytes } from 'node:crypto'
import type { Command } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { nonceOption } from '../nonce-option.ts'

export const command: Command = {
  usage: 'attest NAME [--nonce HEX]',
  details:
    'Gives what the guest answered, unverified: evidence over the nonce, its keys, its initdata, and the token it holds. `cloister verify` judges it.',
  options: {
    nonce: {
      type: 'string',
      value: 'HEX',
      help: '16 to 64 bytes of your own; default 32 random bytes',
    },
  },
  positionals: [1, 1],
  async run(invocation) {
    const [name = ''] = invocation.positionals
    const hostd = await openHostd(invocation)
    const nonce = nonceOption(invocation) ?? randomBytes(32)
    const { signal } = invocation
    const [evidence, status] = await Promise.all([
      hostd.evidence(name, nonce, { signal }),
      hostd.status(name, { signal }),
    ])
    const answer = {
      nonce: Buffer.from(nonce).toString('hex'),
      tee: evidence.tee,
      evidence: JSON.parse(evidence.evidenceJson) as unknown,
      agentKey: evidence.agentKey,
      channelKey: evidence.channelKey,
      initdata: evidence.initdata,
      token: status.token,
      attestations: status.attestations,
    }
    await invocation.output.object(answer, { name, text: () => JSON.stringify(answer, null, 2) })
  },
}
