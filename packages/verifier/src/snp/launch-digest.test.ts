import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { toHex } from '../bytes/hex.ts'
import { parseOvmf } from '../formats/ovmf.ts'
import { kernelHashTable } from '../launch/kernel-hashes.ts'
import {
  predictSevEsLaunchDigest,
  predictSevLaunchDigest,
  sevMeasure,
} from '../launch/sev-digest.ts'
import { SnpPageChain } from '../launch/snp-page-chain.ts'
import { signatureOf, vcpuSignature } from '../launch/vcpu-types.ts'
import { BSP_ADDRESS, encodeVmsa } from '../launch/vmsa.ts'
import { OVMF_SHA256, WITH_OVMF, debianOvmf } from '../testing/debian-ovmf.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import { hashSnpFirmware, predictSnpLaunchDigest, prepareSnpLaunch } from './launch-digest.ts'

// Golden values of an independent tool (sev-snp-measure) and of the rules themselves.
const sha = (algorithm: string, data: Uint8Array | string) =>
  new Uint8Array(createHash(algorithm).update(data).digest())

const HASHES = {
  kernelSha256: sha('sha256', 'kernel'),
  initrdSha256: sha('sha256', 'initrd'),
  commandLine: 'console=ttyS0',
}

test('SnpPageChain: one page of each type', async () => {
  const zeroPage = sha('sha384', new Uint8Array(4096))
  for (const [type, gpa, contents, expected] of [
    [
      1,
      0n,
      zeroPage,
      '9d13634b6014bb21cf059b2dc694e7bff01a8a7137041100cd2b695f3d10fb687267b97808b27f8f471d943bc6f53a20',
    ],
    [
      3,
      0x800000n,
      undefined,
      '4472405c6dbc65e5629805f2be1b3df74eb119841eff12466c24f43e67083c23df5e645b2742b6d9aa0f943e095cebaa',
    ],
    [
      4,
      0x800000n,
      undefined,
      '8cd64e16495d28db9db5fb176885ec972db5d0b66163a37dabe352d30f8501701c570b7c146bf32d6d26903eb36f9398',
    ],
    [
      5,
      0x80d000n,
      undefined,
      'e82e99caf82a32c31ec5070eef9e2135866d8f7de60d756814f3bd8c989c1e826622e0a97dad026c6d9d81818780e6a2',
    ],
    [
      6,
      0x80e000n,
      undefined,
      'c9e46442d2b4ddb823fa6b4a907930de7e93901180c5a3126ba234193059a0a51a21ba82f05d2fe0f3136f22b1b1a8e4',
    ],
  ] as const) {
    const chain = new SnpPageChain()
    await chain.extend(type, gpa, contents)
    assert.equal(toHex(chain.digest), expected)
  }
})

test('encodeVmsa(): boot and application processors', () => {
  for (const [address, sevFeatures, expected] of [
    [
      BSP_ADDRESS,
      1n,
      '77920c4c629ff47e90c0e174fc1ad0eb6fa664f88cd4739488058a8c6cb1a77b3856f55378e9518d0da99452d51c553a',
    ],
    [
      0x80b004,
      1n,
      '8413b852790765a310d95867a8b00bfca3a802b5a80830044b45e253fe96222657e11e53fcf63eb0e0afd722385bf7b4',
    ],
    [
      BSP_ADDRESS,
      0x21n,
      'ae79efa6efbe1594a2717dfd42af495a0e4ed37b00e529a5fdf349bea04c3513962ffb0c74cf65b0d9a1857271833d6e',
    ],
  ] as const)
    assert.equal(
      toHex(sha('sha384', encodeVmsa({ address, signature: 0x800f12, sevFeatures }))),
      expected,
    )
})

test('vcpuSignature() follows from family, model and stepping', () => {
  assert.equal(vcpuSignature('EPYC-Milan'), signatureOf(0x19, 1, 1))
  assert.equal(vcpuSignature('EPYC-Genoa'), signatureOf(0x19, 0x11, 0))
  assert.equal(vcpuSignature('EPYC-v4'), signatureOf(0x17, 1, 2))
  assert.equal(vcpuSignature('EPYC-Turin'), signatureOf(0x1a, 0, 0))
  assert.throws(() => vcpuSignature('toString' as 'EPYC'), RangeError)
})

test('kernelHashTable(): the table and its page', async () => {
  const table = await kernelHashTable(HASHES)
  assert.equal(
    toHex(sha('sha256', table)),
    'c1b2d6975c0ce0b6a60116dfc7710772454b8c44820d3e3ef310ad4f7c7f85a7',
  )
  const page = new Uint8Array(4096)
  page.set(table, 0xc00)
  assert.equal(
    toHex(sha('sha384', page)),
    '9921c0378835fb500627cf4b24e180cdfb782d810f9a913e449be6fb70bee6b6c87aa83ec2f125cc0a0d768d37fdd2f5',
  )
  await assert.rejects(kernelHashTable({ kernelSha256: new Uint8Array(31) }), RangeError)
})

test('predictSnpLaunchDigest(): AmdSev firmware with kernel hashes', WITH_VECTORS, async () => {
  const firmware = vector('measure/ovmf_AmdSev_suffix.bin')
  const digest = await predictSnpLaunchDigest({
    firmware,
    kernelHashes: HASHES,
    vcpuType: 'EPYC-v4',
    vcpus: 1,
  })
  assert.equal(
    toHex(digest),
    'b7ce1adb57c2fbf244f50bdf73fe7ee172731f9e3a563f24277a55d8f64bf7894cec1ffa85458aca2c5e0062f999d82b',
  )
})

test(
  'predictSnpLaunchDigest() refuses kernel hashes that the firmware cannot take',
  WITH_VECTORS,
  async () => {
    const firmware = vector('measure/ovmf_OvmfX64_suffix.bin')
    await assert.rejects(
      predictSnpLaunchDigest({ firmware, kernelHashes: HASHES, vcpuType: 'EPYC-v4', vcpus: 1 }),
      RangeError,
    )
    for (const vcpus of [0, -1, 1.5, 5000])
      await assert.rejects(
        predictSnpLaunchDigest({ firmware, vcpuType: 'EPYC-v4', vcpus }),
        RangeError,
      )
  },
)

test('prepareSnpLaunch() says where two launches part', WITH_VECTORS, async () => {
  const firmware = vector('measure/ovmf_AmdSev_suffix.bin')
  const one = await prepareSnpLaunch({ firmware, kernelHashes: HASHES })
  const other = await prepareSnpLaunch({
    firmware,
    kernelHashes: { ...HASHES, commandLine: 'init=/bin/sh' },
  })
  const differs = (index: number) =>
    toHex(one.steps[index]?.digest ?? new Uint8Array()) !==
    toHex(other.steps[index]?.digest ?? new Uint8Array())
  const first = one.steps.findIndex((_, index) => differs(index))
  assert.equal(one.steps[first]?.name, 'kernelHashes')
  assert.equal(one.steps[0]?.name, 'firmware')
})

test('sevMeasure()', async () => {
  const measure = await sevMeasure({
    tik: new Uint8Array(16),
    apiMajor: 0,
    apiMinor: 24,
    build: 15,
    policy: 1,
    launchDigest: new Uint8Array(32),
    nonce: new Uint8Array(16),
  })
  assert.equal(toHex(measure), 'ae5a31a7492effe906afc33a84b6ca80a2f5d28a9dca2db55781a406b0491894')
})

test("golden digests of Debian's OVMF.fd", WITH_OVMF, async () => {
  const firmware = debianOvmf() as Uint8Array
  const metadata = parseOvmf(firmware)
  assert.equal(metadata.apResetAddress, 0x80b004)
  assert.deepEqual(
    metadata.sections.map(({ gpa, size, type }) => [gpa, size, type]),
    [
      [0x800000, 0x9000, 1],
      [0x80a000, 0x3000, 1],
      [0x80d000, 0x1000, 2],
      [0x80e000, 0x1000, 3],
      [0x80f000, 0x11000, 1],
    ],
  )
  assert.equal(
    toHex(await hashSnpFirmware(firmware)),
    'ba2c811512ef868474f239a21f7d7057d65a20de87a003c4f116e4fb1573183bfbcd75c3e99b2f558575a5d0094f73c6',
  )
  const launch = await prepareSnpLaunch({ firmware })
  for (const [vcpuType, vcpus, features, expected] of [
    [
      'EPYC-v4',
      1,
      1n,
      '11570979c77a0adb515761a702527c8b9e11554e730552621d950988613a3a75c6ff1703f540bd22a9beede8fe7a97e3',
    ],
    [
      'EPYC-v4',
      2,
      1n,
      'a5b54e62ae971b58274dd24cc6c47b842662617036e7bd67d7326c07ac6363f35399ef933330a5ea160cead90a00603f',
    ],
    [
      'EPYC-v4',
      4,
      1n,
      '32ac9d7a17d28f7cd4404a4516d2f00519668c40ada2062351c36767e908eb3f090d66c33ab10f80150e00a4385b6d0f',
    ],
    [
      'EPYC-Milan',
      1,
      1n,
      '80479ca85a2b182c026f6a3a2f2b180ab968d84b17540dd30de39039e70b8c0c33ead2cae6d34e37750035fcff60bfc8',
    ],
    [
      'EPYC-Genoa',
      1,
      1n,
      '98988ff584a1d2b80cbac0c290d592aec2caf460ca58ec34f13c29d44b84dcc3141a8571bb1747aba84fe30c36b2c757',
    ],
    [
      'EPYC-v4',
      1,
      0x21n,
      'c32245cb607f82791b60757bf0b344d9030e5b5a107342e69c09e668ff28aca5af9ca1dc41ce74f5a4e81aeaeb5e7b54',
    ],
  ] as const)
    assert.equal(toHex(await launch.digest({ vcpuType, vcpus, features })), expected)
  for (const [vcpus, expected] of [
    [1, '5bcbb5a45e7a9fa4699b6cc8f775382a810ff5a0186d3b90069ba28b1840b38f'],
    [2, '5b1d28d8e8b3c2c9939d39bf18a7f05b16935279425c1c1e1ab19109acca9ffd'],
  ] as const)
    assert.equal(
      toHex(await predictSevEsLaunchDigest({ firmware, vcpuType: 'EPYC-v4', vcpus })),
      expected,
    )
  assert.equal(toHex(await predictSevLaunchDigest({ firmware })), OVMF_SHA256)
  await assert.rejects(prepareSnpLaunch({ firmware, kernelHashes: HASHES }), RangeError)
})
