import { join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { textOption, type Command, type Invocation } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'
import { tpmAuthority } from '../owner/tpm-authority.ts'
import { readInput } from '../read-input.ts'

export const command: Command = {
  usage: 'tpm-ca add FILE|- [--fingerprint SHA256] | tpm-ca add --this-host',
  details:
    "FILE holds the certificate of a CA that vouches for TPMs, PEM or DER, with intermediates that lead to it. VMs whose TPM has an EK certificate under it\ncan attest at the broker from then on. Compare the fingerprint with the CA's own word, or give it. hostd has such a CA for the TPMs that it makes: --this-host takes that of this machine.",
  options: {
    fingerprint: {
      type: 'string',
      value: 'SHA256',
      help: 'of the CA certificate (DER, hex): any other is refused',
    },
    'this-host': { type: 'boolean', help: 'the CA of the TPMs that hostd makes here' },
  },
  positionals: [0, 1],
  async run(invocation) {
    const { directories, output, signal } = invocation
    const authority = tpmAuthority(
      await certificates(invocation),
      textOption(invocation, 'fingerprint'),
    )
    const { certificate, intermediates, fingerprint, subject } = authority
    await openBroker(directories, signal).pinTpmAnchor({
      certificate: Buffer.from(certificate).toString('base64'),
      intermediates: intermediates.map((der) => Buffer.from(der).toString('base64')),
    })
    await output.object(
      { fingerprint, subject },
      { name: fingerprint, text: () => `${subject}\n  SHA-256  ${fingerprint}` },
    )
  },
}

async function certificates({ positionals, options, directories }: Invocation) {
  const [file] = positionals
  const isThisHost = options['this-host'] === true
  if (isThisHost === (file !== undefined))
    throw new CloisterError('cli.usage', {
      why: 'give a file, or --this-host',
      expected: `cloister ${command.usage}`,
    })
  if (file !== undefined) return await readInput(file, 1 << 17)
  const { openEkAuthority } = await import('@cloister/launcher/machine/ek-authority')
  return (await openEkAuthority(join(directories.hostd, 'ek-authority'))).certificate
}
