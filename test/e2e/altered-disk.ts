/** Changes the disk of a machine at rest, as somebody with the file in hands would: no mount, no root. */
import { execFileSync } from 'node:child_process'
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'

const MIB = 1 << 20
const ENVIRONMENT = {
  ...process.env,
  MTOOLS_SKIP_CHECK: '1',
  PATH: [process.env['PATH'] ?? '', '/usr/sbin', '/sbin'].join(delimiter),
}

/** Where the catalogue's image has its partitions. */
const ESP_OFFSET = MIB
const ROOT_OFFSET = 65 * MIB

export class AlteredDisk {
  readonly #folder: string
  readonly #raw: string

  /** @param disk - a machine's `disk.qcow2` */
  static open(disk: string, folder: string): AlteredDisk {
    const raw = join(folder, 'altered.raw')
    call('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', disk, raw)
    return new AlteredDisk(folder, raw)
  }

  private constructor(folder: string, raw: string) {
    this.#folder = folder
    this.#raw = raw
  }

  /** @returns what stands in the file afterwards */
  changeRootFile(path: string, change: (content: Buffer) => Buffer): Buffer {
    const system = `${this.#raw}?offset=${ROOT_OFFSET}`
    const before = join(this.#folder, 'before')
    const after = join(this.#folder, 'after')
    rmSync(before, { force: true })
    call('debugfs', '-R', `dump ${path} ${before}`, system)
    const content = change(readFileSync(before))
    writeFileSync(after, content)
    call('debugfs', '-w', '-R', `rm ${path}`, system)
    call('debugfs', '-w', '-R', `write ${after} ${path}`, system)
    return content
  }

  copyEspFile(from: string, to: string): void {
    this.changeEspFile(from, () => undefined, to)
  }

  /** @param change - is given the path of a copy, which it may write to */
  changeEspFile(from: string, change: (copy: string) => void, to = from): void {
    const between = join(this.#folder, 'between')
    rmSync(between, { force: true })
    call('mcopy', '-i', `${this.#raw}@@${ESP_OFFSET}`, `::${from}`, between)
    change(between)
    call('mcopy', '-o', '-i', `${this.#raw}@@${ESP_OFFSET}`, between, `::${to}`)
  }

  /** Puts the disk in the place of the machine's. */
  writeBack(disk: string): void {
    const made = `${disk}.altered`
    call('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', this.#raw, made)
    renameSync(made, disk)
  }
}

function call(program: string, ...args: readonly string[]): void {
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'], env: ENVIRONMENT })
}
