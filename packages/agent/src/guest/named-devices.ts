/**
 * Finds the devices that the host gave us, by name. Attacker-controlled: which there are, and what they are called. A second of one
 * name stops the boot: whoever put it there wants us to take the wrong one. Read at once, for nothing else goes on yet and each promise costs more than
 * the call.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import type { ErrorCode } from '@cloister/protocol/errors/catalogue'

export interface DeviceNames {
  /** Device path, such as `/dev/vport1p1`, by the name that the host gave it. */
  readonly devices: ReadonlyMap<string, string>
  readonly missing: ErrorCode
}

/** virtio-serial ports. @throws CloisterError `agent.port-duplicate` */
export function findPorts(sysfs = '/sys', dev = '/dev'): DeviceNames {
  return find(join(sysfs, 'class/virtio-ports'), 'name', dev, {
    missing: 'agent.port-missing',
    duplicate: 'agent.port-duplicate',
  })
}

/** virtio-blk disks by serial. @throws CloisterError `agent.disk-duplicate` */
export function findDisks(sysfs = '/sys', dev = '/dev'): DeviceNames {
  return find(join(sysfs, 'block'), 'serial', dev, {
    missing: 'agent.disk-missing',
    duplicate: 'agent.disk-duplicate',
  })
}

/** @throws CloisterError `agent.port-missing`, `agent.disk-missing` */
export function requireDevice(names: DeviceNames, name: string): string {
  const device = names.devices.get(name)
  if (device === undefined) throw new CloisterError(names.missing, { where: name })
  return device
}

function find(
  directory: string,
  attribute: string,
  dev: string,
  codes: { readonly missing: ErrorCode; readonly duplicate: ErrorCode },
): DeviceNames {
  const devices = new Map<string, string>()
  for (const entry of entriesOf(directory)) {
    const name = attributeOf(join(directory, entry, attribute))
    if (name === '') continue
    if (devices.has(name)) throw new CloisterError(codes.duplicate, { where: name })
    devices.set(name, join(dev, entry))
  }
  return { devices, missing: codes.missing }
}

function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

/** Empty for devices of other drivers, device mapper's among them, which have no such attribute. */
function attributeOf(file: string): string {
  return existsSync(file) ? readFileSync(file, 'latin1').trim() : ''
}
