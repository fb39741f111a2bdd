/**
 * Canaries of `vm prove`: text that the guest derives from a seed which only it knows, so that whoever finds it has found the guest's own bytes.
 * `SHA-256("cloister/prove/1:<place>:<seed>:<number>")` in hex, one after the other; guest and owner make the same.
 */
import { createHash } from 'node:crypto'

const CANARY_PLACES = ['memory', 'disk'] as const
export type CanaryPlace = (typeof CANARY_PLACES)[number]

const LABEL = 'cloister/prove/1'
/** 1 KiB together: in one page, and too much to be there by chance. */
const PIECES = 16

/** @param seed - 64 hex digits. @returns pieces of 64 characters, which lie one behind the other where they are whole */
export function canaryPieces(place: CanaryPlace, seed: string): readonly Buffer[] {
  return Array.from({ length: PIECES }, (_, number) =>
    Buffer.from(createHash('sha256').update(`${LABEL}:${place}:${seed}:${number}`).digest('hex')),
  )
}

export interface GuestPlaces {
  /** On tmpfs, which is the guest's RAM. */
  readonly folder: string
  /** On its root disk. */
  readonly diskFile: string
}

const GUEST_PLACES: GuestPlaces = {
  folder: '/dev/shm/cloister-prove',
  diskFile: '/var/tmp/cloister-prove',
}

/**
 * For `sh` in the guest, with coreutils: makes seed and canaries, and says nothing of them. The shell must stay until the seed is told: with it they go, and
 * with the last session of a user systemd-logind takes what is theirs on /dev/shm (RemoveIPC).
 */
export function plantScript({ folder, diskFile }: GuestPlaces = GUEST_PLACES): string {
  return `set -eu
umask 077
rm -rf ${folder} ${diskFile}
trap 'rm -rf ${folder} ${diskFile}' EXIT HUP TERM
mkdir ${folder}
seed=$(head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \\n')
make() {
  n=0
  while [ $n -lt ${PIECES} ]; do
    printf '%s:%s:%s:%s' ${LABEL} "$1" "$seed" $n | sha256sum | head -c 64
    n=$((n + 1))
  done
}
make memory >${folder}/canary
make disk >${diskFile}
sync ${diskFile}
printf %s "$seed" >${folder}/seed
echo planted
`
}

/** For `sh` in the guest: tells the seed and removes everything. */
export function revealScript(places: GuestPlaces = GUEST_PLACES): string {
  return `set -eu\ncat ${places.folder}/seed\n${removeScript(places)}`
}

/** For `sh` in the guest: removes what a run left that did not come to its end. */
export function removeScript({ folder, diskFile }: GuestPlaces = GUEST_PLACES): string {
  return `rm -rf ${folder} ${diskFile}\n`
}
