import { copyOfEvent } from '../eventlog/tcg-log.ts'
import type { TcgEvent } from '../eventlog/tcg-log.ts'

/** An event with some parts replaced. */
export function changedEvent(event: TcgEvent, changes: Partial<TcgEvent>): TcgEvent {
  return { ...copyOfEvent(event), ...changes }
}
