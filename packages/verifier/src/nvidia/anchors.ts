/** NVIDIA Device Identity CA, 2021 to 9999: the root of every GPU's and switch's chain. SHA-256 of the certificate in DER. */
export const NVIDIA_DEVICE_ROOT = '102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48'
/** NVIDIA CoRIM signing Root CA, 2023 to 2053: the root of every reference manifest's signer. SHA-256 of the certificate in DER. */
export const NVIDIA_MANIFEST_ROOT =
  '12977b5115acb0381179279fffeb5a8c4d264971ebb32298023a465fa41df5d1'
