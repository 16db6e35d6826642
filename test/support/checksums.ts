/** The checksums of the disk formats, told once more: tests make images right again that they changed. */

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f6_3b78 : value >>> 1;
  return value;
});

/** CRC-32C (Castagnoli), as VHDX has it. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ (TABLE[(crc ^ byte) & 0xff] ?? 0);
  return ~crc >>> 0;
}

/** Writes the CRC-32C of a VHDX structure into its four bytes, which count as zero. */
export function sealVhdx(structure: Buffer, at = 4): void {
  structure.writeUInt32LE(0, at);
  structure.writeUInt32LE(crc32c(structure), at);
}

/** Writes the one's complement of the sum of all bytes of a VHD structure into its four bytes, which count as zero. */
export function sealVhd(structure: Buffer, at: number): void {
  structure.writeUInt32BE(0, at);
  structure.writeUInt32BE(~structure.reduce((sum, byte) => sum + byte, 0) >>> 0, at);
}
