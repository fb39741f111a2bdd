import { writeFile } from 'node:fs/promises'
import { CloisterError } from '@cloister/protocol/error'
import { BUNDLE_TEES, encodeBundle, type BundleTee } from '@cloister/verifier/endorsements/bundle'
import { fetchBundle } from '@cloister/verifier/fetch/fetch-bundle'
import { textOption, type Command, type Invocation } from '../command.ts'
import { FETCH_OPTIONS, fetchOptions } from '../endorsements/fetch-options.ts'
import { openEndorsementClient, withFetchErrors } from '../endorsements/open-client.ts'
import { EVIDENCE_BYTES, readInput } from '../read-input.ts'

export const command: Command = {
  usage: `evidence fetch FILE --tee ${BUNDLE_TEES.join('|')} --out BUNDLE [options]`,
  details:
    'Asks the vendor for what this evidence needs and writes it into one file. `cloister evidence verify FILE --endorsements BUNDLE` then needs no network,\nalso years later with --at. What was fetched before and is in date comes from the cache.',
  options: {
    tee: { type: 'string', value: 'TEE', help: BUNDLE_TEES.join(', ') },
    out: { type: 'string', value: 'BUNDLE', help: 'file to write' },
    ...FETCH_OPTIONS,
    offline: { type: 'boolean', help: 'from the cache alone' },
  },
  positionals: [1, 1],
  async run(invocation) {
    const { directories, options, output, positionals, signal } = invocation
    const [file = ''] = positionals
    const tee = chosenTee(invocation)
    const out = textOption(invocation, 'out')
    if (out === undefined) throw new CloisterError('cli.usage', { why: '--out is missing' })
    const services = fetchOptions(invocation)
    const evidence = await readInput(file, EVIDENCE_BYTES)
    const client = openEndorsementClient(directories, options['offline'] === true)
    const bundle = await withFetchErrors(() =>
      fetchBundle(tee, evidence, { client, signal, ...services }),
    )
    await write(out, encodeBundle(bundle))
    const { subject, items } = bundle
    const expires = bundle.expires.toISOString()
    await output.object(
      { bundle: out, tee, subject, expires, items: items.map(({ kind }) => kind) },
      {
        name: out,
        text: () =>
          [
            `${out}: ${items.length} endorsements for ${Object.entries(subject)
              .map(([name, value]) => `${name} ${value}`)
              .join(', ')}`,
            `in date until ${expires}`,
          ].join('\n'),
      },
    )
    output.talk(
      `next: cloister evidence verify ${file} --tee ${tee} --endorsements ${out} --expect any`,
    )
  },
}

function chosenTee(invocation: Invocation): BundleTee {
  const name = textOption(invocation, 'tee')
  const tee = BUNDLE_TEES.find((known) => known === name)
  if (tee !== undefined) return tee
  throw new CloisterError('cli.usage', {
    why: '--tee is missing, or of a TEE whose endorsements come with the evidence',
    expected: BUNDLE_TEES.join(', '),
    received: name?.slice(0, 40) ?? 'nothing',
  })
}

async function write(file: string, bytes: Uint8Array): Promise<void> {
  try {
    await writeFile(file, bytes)
  } catch (cause) {
    throw new CloisterError('cli.file-unwritable', { where: file, cause })
  }
}
