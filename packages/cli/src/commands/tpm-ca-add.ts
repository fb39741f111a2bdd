import { textOption, type Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'
import { tpmAuthority } from '../owner/tpm-authority.ts'
import { readInput } from '../read-input.ts'

export const command: Command = {
  usage: 'tpm-ca add FILE|- [--fingerprint SHA256]',
  details:
    "FILE holds the certificate of a CA that vouches for TPMs, PEM or DER, with intermediates that lead to it. VMs whose TPM has an EK certificate under it\ncan attest at the broker from then on. Compare the fingerprint with the CA's own word, or give it.",
  options: {
    fingerprint: {
      type: 'string',
      value: 'SHA256',
      help: 'of the CA certificate (DER, hex): any other is refused',
    },
  },
  positionals: [1, 1],
  async run(invocation) {
    const { positionals, directories, output, signal } = invocation
    const authority = tpmAuthority(
      await readInput(positionals[0] ?? '', 1 << 17),
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
