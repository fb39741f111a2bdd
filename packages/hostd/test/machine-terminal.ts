/** The serial console of a VM through hostd, whose guest runs each line as a command. */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { ConsoleStream } from '@cloister/launcher/testing/console-stream'
import type { HostdClient } from '../src/client.ts'

export class MachineTerminal extends ConsoleStream {
  static async open(hostd: HostdClient, name: string): Promise<MachineTerminal> {
    // The writer before may not be gone yet.
    for (let attempt = 0; ; attempt++) {
      try {
        return new MachineTerminal(await hostd.vms.console(name))
      } catch (error) {
        if (attempt === 20) throw error
        await sleep(50)
      }
    }
  }

  /** What a command of the guest prints, whatever stands on the console before it. */
  async run(command: string): Promise<string> {
    const mark = randomBytes(6).toString('hex')
    // The terminal shows what is typed too, where the marks stand in two parts.
    this.write(`echo begin-''${mark}; ${command}; echo end-''${mark}`)
    await this.until(`begin-${mark}\r\n`)
    return (await this.until(`end-${mark}\r\n`)).trim()
  }
}
