/** The program that `probe-machine` starts in the place of a kernel: what stands in `program.S`, as an EFI application. */

/** `program.S`, assembled. */
export const PROGRAM_CODE: Uint8Array = Buffer.from(
  [
    'U0iD7DBJiddmuBkA6H4BAABFMeS5BAAAAOzorgEAAEHB5AhBiMT/yXXvRInhweEG6GMBAABFMe1FOeVzQWa4GQDoSQEAAESJ',
    '6cHhBoPBBOz/yXX7uQYAAAAx2+xIweMIiMP/yXX1ZonY6CEBAABIwesQidnoHwEAAEH/xeu6ZrgOAOgIAQAAuQIAAADoBwEA',
    'AEmLT2hJi3dwSLhEFf3ylJcsSki6MS2d64gt0xFFMeRIhcl0LEiLfhBIORZ1C0QPt2cWRItvGOsPSDkGdQpEi2cMTItvEOsJ',
    'SIPGGEj/yevPTInuRInh6LsAAABIjR3dAAAATYt3WGbHgwABAAAAAEjHAwAEAABIidlIjZMAAQAATI1DEEH/VlBIhcB1XUjH',
    'QwgAgAAASI2LAAEAAEiNUxBMjUMgTI1LCEiNgwAFAABIiUQkIEH/VkhIhcB1skiNswABAACLC+hLAAAASI1zELkUAAAA6D0A',
    'AABIjbMABQAAi0sI6C4AAADrhTHJ6CUAAABmugQGZrgAIGbv9OvzZroQBWbv/8LDhcl0CuzoKwAAAP/JdfbDici/BAAAAOga',
    'AAAAwegI/8919IXJdA6KBugIAAAASP/G/8nr7sPm6cM=',
  ].join(''),
  'base64',
)

/** Offsets in the file; the headers are those of a PE32+ image with one section. */
const FILE = { peHeader: 0x40, optional: 0x58, section: 0x148, code: 0x200, size: 0x2000 } as const
/** In memory, behind the headers' page: the code and its room for names and data. */
const SECTION = { address: 0x1000, size: 0x11_000 } as const
const ALIGNMENT = { section: 0x1000, file: 0x200 } as const
const X86_64 = 0x8664
const EFI_APPLICATION = 10
const EXECUTABLE = 0x0022
const CODE_READ_WRITE_EXECUTE = 0xe000_0020

/** Long enough for QEMU, which looks for a Linux kernel's setup sectors first. */
export function probeProgram(): Uint8Array {
  const file = Buffer.alloc(FILE.size)
  file.write('MZ', 'latin1')
  file.writeUInt32LE(FILE.peHeader, 0x3c)
  file.write('PE\0\0', FILE.peHeader, 'latin1')
  file.writeUInt16LE(X86_64, FILE.peHeader + 4)
  file.writeUInt16LE(1, FILE.peHeader + 6)
  file.writeUInt16LE(FILE.section - FILE.optional, FILE.peHeader + 20)
  file.writeUInt16LE(EXECUTABLE, FILE.peHeader + 22)
  file.writeUInt16LE(0x20b, FILE.optional)
  file.writeUInt32LE(SECTION.address, FILE.optional + 16)
  file.writeUInt32LE(ALIGNMENT.section, FILE.optional + 32)
  file.writeUInt32LE(ALIGNMENT.file, FILE.optional + 36)
  file.writeUInt32LE(SECTION.address + SECTION.size, FILE.optional + 56)
  file.writeUInt32LE(FILE.code, FILE.optional + 60)
  file.writeUInt16LE(EFI_APPLICATION, FILE.optional + 68)
  file.writeUInt32LE(16, FILE.optional + 108)
  file.write('.text', FILE.section, 'latin1')
  file.writeUInt32LE(SECTION.size, FILE.section + 8)
  file.writeUInt32LE(SECTION.address, FILE.section + 12)
  file.writeUInt32LE(Math.ceil(PROGRAM_CODE.length / 0x200) * 0x200, FILE.section + 16)
  file.writeUInt32LE(FILE.code, FILE.section + 20)
  file.writeUInt32LE(CODE_READ_WRITE_EXECUTE, FILE.section + 36)
  file.set(PROGRAM_CODE, FILE.code)
  return file
}
