import type { Tracer } from './tracer.ts'
export interface ExplainOptions {
  readonly redact?: readonly string[]
}
export interface Explanation {
  readonly x: number
}
export class Recorder implements Tracer {
  constructor(_o: ExplainOptions) {}
  begin(_i: unknown, _d: unknown): void {}
  finish(_r: unknown): Explanation {
    return { x: 1 }
  }
  enter(): unknown {
    return undefined
  }
  leave(): void {}
  again(): void {}
  attempt(): never {
    throw new Error('x')
  }
  mismatch(): void {}
  builtinError(): void {}
}
