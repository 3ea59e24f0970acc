/** Copies `length` bytes; the ranges must not overlap. Inlined loops beat `memory.copy`, which leaves the module. */
export function copyBytes(to: usize, from: usize, length: usize): void {
  const end = from + length;
  for (; from + 16 <= end; from += 16, to += 16) v128.store(to, v128.load(from));
  for (; from < end; from++, to++) store<u8>(to, load<u8>(from));
}

/** `at[i] ^= stream[i]`, touching not one byte more. */
export function xorBytes(at: usize, stream: usize, length: usize): void {
  const end = at + length;
  for (; at + 16 <= end; at += 16, stream += 16) v128.store(at, v128.xor(v128.load(at), v128.load(stream)));
  for (; at < end; at++, stream++) store<u8>(at, load<u8>(at) ^ load<u8>(stream));
}
