/** Checks of event logs, a part of the appraisals that have one: the code, and what it says when it does not pass. */
export const EVENT_LOG_CHECKS = {
  'event-log.missing': 'The Evidence brings no event log, so only digests can be compared',
  'event-log.malformed': 'The event log is not of the documented layout',
  'event-log.replay-mismatch': 'The events do not add up to what was quoted',
  'event-log.unexplained': 'A register was extended with something that the log does not list',
  'event-log.digest-mismatch': 'The data of an event is not what its digest is of',
  'event-log.separator': 'A separator is doubled, or says that the firmware met an error',
  'event-log.unknown-event':
    'An event of unknown kind stands among those of firmware or Secure Boot',
  'event-log.boot-order': 'An application started before the firmware called one',
  'event-log.secure-boot-malformed':
    'A Secure Boot variable is missing, empty, doubled, malformed or measured too late',
  'event-log.secure-boot-off': 'Secure Boot is off',
  'event-log.container': 'The canonical log is malformed, or a digest is not of its event',
} as const satisfies Record<string, string>

export type EventLogCheckCode = keyof typeof EVENT_LOG_CHECKS
