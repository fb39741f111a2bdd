import { CloisterError } from '@cloister/protocol/error'
import { textOption, type Command, type Invocation } from '../command.ts'
import { FETCH_OPTIONS, fetchOptions } from '../endorsements/fetch-options.ts'
import { readFetchSetting, writeFetchSetting } from '../owner/fetch-setting.ts'
import {
  DEFAULT_LISTEN,
  ensureBroker,
  serveBroker,
  type ListenAddress,
} from '../owner/local-broker.ts'

export const command: Command = {
  usage:
    'broker start [--listen HOST:PORT] [--detach] [--fetch-endorsements [--kds URL] [--pcs URL]]',
  details:
    'Pins itself for the owner of this machine. Its keys and secrets lie in CLOISTER_HOME/broker, encrypted at rest. With --fetch-endorsements it asks AMD for its revocation lists and Intel for\nthe collateral that you gave it once, now and then; without them in date, evidence under these anchors gets nothing. The choice is remembered until --no-fetch-endorsements.',
  options: {
    listen: {
      type: 'string',
      value: 'HOST:PORT',
      help: `default: as before, else ${DEFAULT_LISTEN.host}:${DEFAULT_LISTEN.port}; another free port when that is taken`,
    },
    detach: { type: 'boolean', short: 'd', help: 'run in the background' },
    'fetch-endorsements': {
      type: 'boolean',
      help: "keep AMD's revocation lists and Intel's collateral in date",
    },
    'no-fetch-endorsements': { type: 'boolean', help: 'ask nobody again: you bring the lists' },
    kds: FETCH_OPTIONS.kds,
    pcs: FETCH_OPTIONS.pcs,
  },
  positionals: [0, 0],
  async run(invocation) {
    const { directories, output, signal, options } = invocation
    const listen = listenAddress(textOption(invocation, 'listen'))
    await rememberFetching(invocation)
    if (options['detach'] === true) {
      const broker = await ensureBroker(directories, signal, { listen, talk: output.talk })
      const { fetchesEndorsements } = await broker.status()
      if ((fetchesEndorsements !== null) !== (readFetchSetting(directories) !== undefined))
        output.talk('this broker ran before: stop and start it for the change to count')
      await output.object(
        { url: broker.pinned.url },
        { name: broker.pinned.url, text: () => `broker at ${broker.pinned.url}` },
      )
      output.talk('next: cloister secret put NAME --from-file FILE')
      return
    }
    await serveBroker(directories, {
      listen,
      signal,
      talk: output.talk,
      started: (url) => {
        output.talk(`broker at ${url}; Ctrl-C ends it`)
      },
    })
  },
}

async function rememberFetching(invocation: Invocation): Promise<void> {
  const { directories, options } = invocation
  const wanted = options['fetch-endorsements'] === true
  const refused = options['no-fetch-endorsements'] === true
  const { kds, pcs } = fetchOptions(invocation)
  if (wanted && refused)
    throw new CloisterError('cli.usage', { why: 'both --fetch-endorsements and its contrary' })
  if (!wanted && (kds?.address ?? pcs?.address) !== undefined)
    throw new CloisterError('cli.usage', { why: '--kds and --pcs are for --fetch-endorsements' })
  if (wanted)
    await writeFetchSetting(directories, {
      ...(kds?.address !== undefined && { kds: kds.address }),
      ...(pcs?.address !== undefined && { pcs: pcs.address }),
    })
  if (refused) await writeFetchSetting(directories, undefined)
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
