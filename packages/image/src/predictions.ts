export async function predictions(_directory: string, _described: unknown) {
  return { hardware: {}, simulated: {}, debug: {} }
}
