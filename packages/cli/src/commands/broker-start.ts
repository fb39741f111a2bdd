import { CloisterError } from '@cloister/protocol/error'
import { textOption, type Command } from '../command.ts'
import {
  DEFAULT_LISTEN,
  ensureBroker,
  serveBroker,
  type ListenAddress,
} from '../owner/local-broker.ts'

export const command: Command = {
  usage: 'broker start [--listen HOST:PORT] [--detach]',
  details:
    'Pins itself for the owner of this machine. Its keys and secrets lie in CLOISTER_HOME/broker, encrypted at rest.',
  options: {
    listen: {
      type: 'string',
      value: 'HOST:PORT',
      help: `default ${DEFAULT_LISTEN.host}:${DEFAULT_LISTEN.port}`,
    },
    detach: { type: 'boolean', short: 'd', help: 'run in the background' },
  },
  positionals: [0, 0],
  async run(invocation) {
    const { directories, output, signal, options } = invocation
    const listen = listenAddress(textOption(invocation, 'listen'))
    if (options['detach'] === true) {
      const broker = await ensureBroker(directories, signal, listen)
      await output.object(
        { url: broker.pinned.url },
        { name: broker.pinned.url, text: () => `broker at ${broker.pinned.url}` },
      )
      output.talk('next: cloister secret put NAME --from-file FILE')
      return
    }
    await serveBroker(directories, {
      listen: listen ?? DEFAULT_LISTEN,
      signal,
      started: (url) => {
        output.talk(`broker at ${url}; Ctrl-C ends it`)
      },
    })
  },
}

function listenAddress(text: string | undefined): ListenAddress | undefined {
  if (text === undefined) return undefined
  const match = /^(\[[0-9a-fA-F:]+\]|[\w.-]+):(\d{1,5})$/.exec(text)
  const port = Number(match?.[2])
  if (match?.[1] !== undefined && port <= 65_535)
    return { host: match[1].replace(/^\[|\]$/g, ''), port }
  throw new CloisterError('cli.usage', {
    why: '--listen is malformed',
    expected: 'HOST:PORT',
    received: text.slice(0, 80),
  })
}
