/** Variables of one rule: which body owns them, and what a nested body captures. */
import type { Local } from './ir.ts'

/** Numbers the slots of one rule's frame. */
export class Slots {
  #count: number

  constructor(count = 0) {
    this.#count = count
  }

  get count(): number {
    return this.#count
  }

  take(name: string): Local {
    return { name, slot: this.#count++ }
  }
}

export type Declaration = 'argument' | 'declared' | 'assigned' | 'implicit'

interface Entry {
  readonly local: Local
  readonly how: Declaration
}

/** The variables of one body. */
export class Scope {
  readonly parent: Scope | undefined
  readonly slots: Slots
  readonly captures = new Set<Local>()
  readonly #entries = new Map<string, Entry>()
  readonly #references = new Set<string>()

  constructor(slots: Slots, parent?: Scope) {
    this.slots = slots
    this.parent = parent
  }

  /** What this body itself says about `name`. */
  own(name: string): Entry | undefined {
    return this.#entries.get(name)
  }

  declare(name: string, how: Declaration): Local {
    const local = this.slots.take(name)
    this.#entries.set(name, { local, how })
    return local
  }

  wildcard(): Local {
    return this.slots.take('_')
  }

  has(name: string): boolean {
    return this.#entries.has(name) || (this.parent?.has(name) ?? false)
  }

  /** The variable that `name` means here; the bodies between here and its owner capture it. */
  find(name: string): Local | undefined {
    const entry = this.#entries.get(name)
    if (entry !== undefined) return entry.local
    const outer = this.parent?.find(name)
    if (outer !== undefined) this.captures.add(outer)
    return outer
  }

  /** Remembers that `name` was used as something else than a variable of this body. */
  noteReference(name: string): void {
    this.#references.add(name)
  }

  referenced(name: string): boolean {
    return this.#references.has(name)
  }

  /** The variables of this body by name. */
  visible(): Map<string, Local> {
    return new Map([...this.#entries].map(([name, { local }]) => [name, local]))
  }
}
