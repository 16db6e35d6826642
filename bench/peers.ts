/**
 * The programs that people use to copy one file, and how each is run so that it does the same job as Blockferry: all of
 * the file, to a new file, through the page cache or flushed to the disk, with nothing shared between the two files.
 */

export interface Peer {
  readonly name: string;
  readonly argv: (source: string, target: string) => readonly string[];
  /** The program without which it cannot run; absent: always there. */
  readonly tool?: string;
}

export const cp: Peer = { name: 'cp', argv: (source, target) => ['cp', '--reflink=never', source, target] };

export const cpAndSync: Peer = {
  name: 'cp + sync',
  argv: (source, target) => ['sh', '-c', 'cp --reflink=never "$0" "$1" && sync "$1"', source, target],
};

export const dd: Peer = {
  name: 'dd',
  argv: (source, target) => ['dd', `if=${source}`, `of=${target}`, 'bs=1M', 'status=none'],
};

export const ddFsync: Peer = { name: 'dd conv=fsync', argv: (...ends) => [...dd.argv(...ends), 'conv=fsync'] };

/** `unsafe`, which is its default, flushes nothing; `-W` lets it write out of order, which is its fastest way. */
export const qemuImg: Peer = { name: 'qemu-img', argv: qemuImgConvert('unsafe'), tool: 'qemu-img' };

/** `writeback` goes through the page cache and ends with a flush. */
export const qemuImgFlushed: Peer = {
  name: 'qemu-img -t writeback',
  argv: qemuImgConvert('writeback'),
  tool: 'qemu-img',
};

function qemuImgConvert(cache: string): Peer['argv'] {
  const formats = ['-f', 'raw', '-O', 'raw'];
  return (...ends) => ['qemu-img', 'convert', ...formats, '-t', cache, '-T', 'writeback', '-W', ...ends];
}

/** From file to file it needs no server. It begins to write out what it has copied at once, asked or not. */
export const nbdcopy: Peer = { name: 'nbdcopy', argv: (...ends) => ['nbdcopy', ...ends], tool: 'nbdcopy' };

export const nbdcopyFlushed: Peer = {
  name: 'nbdcopy --flush',
  argv: (...ends) => ['nbdcopy', '--flush', ...ends],
  tool: 'nbdcopy',
};

export const rsync: Peer = {
  name: 'rsync',
  argv: (...ends) => ['rsync', '--whole-file', '--inplace', ...ends],
  tool: 'rsync',
};

export const rclone: Peer = {
  name: 'rclone',
  argv: (...ends) => ['rclone', '--config', '', 'copyto', ...ends],
  tool: 'rclone',
};
