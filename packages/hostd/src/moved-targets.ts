/** What a guest's targets are once something that they lead to has moved. */
import type { MoveTarget, Target } from '@cloister/protocol/hostd-api'

/** @returns undefined when none of them led there */
export function movedTargets(
  targets: Readonly<Record<string, Target>>,
  { name, from, to }: MoveTarget,
): Record<string, Target> | undefined {
  const target = Object.hasOwn(targets, name) ? targets[name] : undefined
  if (target === undefined || !('tcp' in target) || target.tcp !== from) return undefined
  return { ...targets, [name]: { tcp: to } }
}
