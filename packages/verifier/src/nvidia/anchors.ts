/** NVIDIA Device Identity CA, 2021 to 9999: the root of every GPU's and switch's chain. SHA-256 of the certificate in DER. */
export const NVIDIA_DEVICE_ROOT = '102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48'
