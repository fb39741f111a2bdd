/** The root of the commercial AWS partition: CN aws.nitro-enclaves, 2019 to 2049. SHA-256 of the certificate in DER. */
export const NITRO_ROOT = '641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b'
