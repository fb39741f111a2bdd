import type { ErrorEntry } from './entry.ts'

export const DISK_IMAGE_ERRORS = {
  'catalogue-image.unknown': {
    title: 'Cannot find the disk image in the catalogue',
    why: 'Cloister builds no image of that name by itself',
    fix: ['cloister vm create NAME --image debian-12', 'cloister vm create NAME --image FILE'],
    status: 404,
    exit: 6,
  },
  'catalogue-image.tool-missing': {
    title: 'Cannot build the disk image: a program of this host is missing',
    why: 'the build needs apt-get, dpkg-deb, mmdebstrap and sfdisk of a Debian host',
    fix: ['apt-get install --no-install-recommends mmdebstrap fdisk dpkg apt'],
    status: 500,
    exit: 5,
  },
  'catalogue-image.fetch-failed': {
    title: 'Cannot fetch the packages of the disk image',
    why: 'apt could not fetch or verify the packages from the mirror of this host',
    fix: ['check the network and the proxy of apt, then run the same command again'],
    status: 502,
    exit: 5,
    retryable: true,
  },
  'catalogue-image.no-space': {
    title: 'Cannot build the disk image: no space left',
    why: 'the file system is full; a build needs about 3 GiB for a short time',
    fix: ['free space, or set TMPDIR and CLOISTER_HOME to a file system with room'],
    status: 507,
    exit: 5,
  },
  'catalogue-image.build-failed': {
    title: 'Cannot build the disk image',
    why: 'a step of the build failed',
    fix: ['read its message, mend the cause, then run the same command again'],
    status: 500,
    exit: 1,
  },
} as const satisfies Record<string, ErrorEntry>
