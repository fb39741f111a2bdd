import type { TcgEvent } from '../eventlog/tcg-log.ts'

/** An event with some parts replaced. Those of a parsed log read their parts from it, so that spreading them copies nothing. */
export function changedEvent(
  { index, type, digests, data, offset }: TcgEvent,
  changes: Partial<TcgEvent>,
): TcgEvent {
  return { index, type, digests, data, offset, ...changes }
}
