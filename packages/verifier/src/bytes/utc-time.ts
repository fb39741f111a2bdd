/** Smaller ones `Date.UTC` takes for years of the last century. */
const FIRST_PLAIN_YEAR = 100
/** Has every day. */
const LEAP_YEAR = 2000

/** @returns undefined when there is no such day or time; a leap second is none */
export function utcTime(
  year: number,
  month: number,
  day: number,
  hour: number,
  minute: number,
  second: number,
): Date | undefined {
  if (!isUtcTime(year, month, day, hour, minute, second)) return undefined
  if (year >= FIRST_PLAIN_YEAR)
    return new Date(Date.UTC(year, month - 1, day, hour, minute, second))
  const time = new Date(Date.UTC(LEAP_YEAR, month - 1, day, hour, minute, second))
  time.setUTCFullYear(year)
  return time
}

/** Whether there is such a day and time. */
export function isUtcTime(
  year: number,
  month: number,
  day: number,
  hour: number,
  minute: number,
  second: number,
): boolean {
  return (
    month >= 1 &&
    month <= 12 &&
    day >= 1 &&
    day <= daysOf(year, month) &&
    hour < 24 &&
    minute < 60 &&
    second < 60
  )
}

function daysOf(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}
