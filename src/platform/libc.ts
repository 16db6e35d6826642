/**
 * The few calls of the C library that Node lacks, through koffi where it is installed: 64-bit Linux only, loaded at the
 * first need. Each answers as the kernel does, with minus the errno for a failure, so that callers decide what a
 * refusal means.
 */
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import type * as Koffi from 'koffi';

/** A name as the kernel takes it: a string is sent as UTF-8, a Buffer as it is. */
export type PathBytes = string | Buffer;

/** Every call answers 0 or more, or minus the errno. All of them block the calling thread. */
export interface Libc {
  lseek(fd: number, offset: number, whence: number): number;
  fallocate(fd: number, mode: number, offset: number, length: number): number;
  posix_fadvise(fd: number, offset: number, length: number, advice: number): number;
  renameat2(fromFolder: number, from: PathBytes, toFolder: number, to: PathBytes, flags: number): number;
  flock(fd: number, operation: number): number;
  fcntl(fd: number, command: number, argument: number): number;
  /** `lock`: struct flock. */
  fcntlLock(fd: number, command: number, lock: Buffer): number;
  syncfs(fd: number): number;
  sync_file_range(fd: number, offset: number, length: number, flags: number): number;
  ioctl(fd: number, request: number, argument: Buffer): number;
  preadv2(fd: number, into: Uint8Array, position: number, flags: number): number;
  pwritev2(fd: number, bytes: Uint8Array, position: number, flags: number): number;
  /** `range`: offset and length, 0 for all of it; `counts` begins with the pages that are cached. */
  cachestat(fd: number, range: Buffer, counts: Buffer): number;
  /** Fills `names` with names that each end in a NUL, and answers how many bytes that took. */
  flistxattr(fd: number, names: Buffer): number;
  /** Fills `value` and answers its length. */
  fgetxattr(fd: number, name: PathBytes, value: Buffer): number;
  fsetxattr(fd: number, name: PathBytes, value: Buffer): number;
  fremovexattr(fd: number, name: PathBytes): number;
  /** `times`: two of struct timespec, of access and of modification. */
  futimens(fd: number, times: Buffer): number;
  utimensat(folder: number, path: PathBytes, times: Buffer, flags: number): number;
  _exit(code: number): never;
}

type NativeCall = (...args: (number | Uint8Array)[]) => number;

const OFF_T_IS_64_BIT = new Set(['x64', 'arm64', 'riscv64', 'loong64', 'ppc64', 's390x']);

let bound: Libc | 'absent' | undefined;

/** The C library, or undefined where koffi is absent, fails to load or is switched off by BLOCKFERRY_NO_NATIVE=1. */
export function libc(): Libc | undefined {
  if (process.env.BLOCKFERRY_NO_NATIVE === '1') return undefined;
  bound ??= bind();
  return bound === 'absent' ? undefined : bound;
}

export function nativeAvailable(): boolean {
  return libc() !== undefined;
}

/**
 * The Error that Node itself would throw for a failed call: with `code`, `errno`, `syscall` and, where known, `path`.
 */
export function errnoError(syscall: string, answer: number, path?: PathBytes): NodeJS.ErrnoException {
  const [code, text] = getSystemErrorMap().get(answer) ?? [`errno ${-answer}`, 'unknown system error'];
  const about = path === undefined ? {} : { path: path.toString() };
  return Object.assign(new Error(`${code}: ${text}, ${syscall}`), { code, errno: answer, syscall, ...about });
}

function bind(): Libc | 'absent' {
  if (process.platform !== 'linux' || !OFF_T_IS_64_BIT.has(process.arch)) return 'absent';
  try {
    return bindWith(createRequire(import.meta.url)('koffi') as typeof Koffi);
  } catch {
    // koffi is optional: not installed, or no binary for this machine. Every caller has a way without it.
    return 'absent';
  }
}

function bindWith(koffi: typeof Koffi): Libc {
  // The program's own library, whatever its file is called: glibc and musl alike.
  const library = koffi.load(null);
  const bound = (definition: string): NativeCall => {
    const call = library.func(definition);
    return (...args) => {
      const answer = Number(call(...args));
      return answer < 0 ? -koffi.errno() : answer;
    };
  };
  const fadvise = library.func('int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)');
  const rename = bindRename(bound);
  return {
    lseek: uninterrupted(bound('int64_t lseek(int fd, int64_t offset, int whence)')),
    fallocate: uninterrupted(bound('int fallocate(int fd, int mode, int64_t offset, int64_t length)')),
    // This one returns its errno and leaves the variable alone.
    posix_fadvise: (fd, offset, length, advice) => -fadvise(fd, offset, length, advice),
    renameat2: (fromFolder, from, toFolder, to, flags) =>
      rename(fromFolder, terminated('renameat2', from), toFolder, terminated('renameat2', to), flags),
    flock: uninterrupted(bound('int flock(int fd, int operation)')),
    fcntl: uninterrupted(bound('int fcntl(int fd, int command, int argument)')),
    fcntlLock: uninterrupted(bound('int fcntl(int fd, int command, uint8_t *lock)')),
    syncfs: uninterrupted(bound('int syncfs(int fd)')),
    sync_file_range: uninterrupted(bindSyncRange(bound)),
    ioctl: uninterrupted(bound('int ioctl(int fd, unsigned long request, uint8_t *argument)')),
    ...bindAttributes(bound),
    ...bindUncached(koffi, library, bound),
    _exit: library.func('void _exit(int code)') as unknown as Libc['_exit'],
  };
}

/** For calls that may be made twice; a rename may not: its second try would not find the file. */
function uninterrupted<A extends unknown[]>(call: (...args: A) => number): (...args: A) => number {
  return (...args) => {
    for (;;) {
      const answer = call(...args);
      if (answer !== -constants.errno.EINTR) return answer;
    }
  };
}

function bindRename(bound: (definition: string) => NativeCall): NativeCall {
  const parameters = 'int fromFolder, const uint8_t *from, int toFolder, const uint8_t *to, unsigned int flags';
  // glibc has it since 2.28, musl only lately.
  return orAbsent(() => bound(`int renameat2(${parameters})`)) ?? (() => -constants.errno.ENOSYS);
}

function bindSyncRange(bound: (definition: string) => NativeCall): NativeCall {
  const parameters = 'int fd, int64_t offset, int64_t length, unsigned int flags';
  // Only Linux has it, and not every C library for it.
  return orAbsent(() => bound(`int sync_file_range(${parameters})`)) ?? (() => -constants.errno.ENOSYS);
}

type AttributeCalls = 'flistxattr' | 'fgetxattr' | 'fsetxattr' | 'fremovexattr' | 'futimens' | 'utimensat';

function bindAttributes(bound: (definition: string) => NativeCall): Pick<Libc, AttributeCalls> {
  const list = bound('int64_t flistxattr(int fd, uint8_t *names, size_t size)');
  const get = bound('int64_t fgetxattr(int fd, const uint8_t *name, uint8_t *value, size_t size)');
  const set = bound('int fsetxattr(int fd, const uint8_t *name, const uint8_t *value, size_t size, int flags)');
  const remove = bound('int fremovexattr(int fd, const uint8_t *name)');
  const times = bound('int utimensat(int folder, const uint8_t *path, const uint8_t *times, int flags)');
  return {
    flistxattr: (fd, names) => list(fd, names, names.length),
    fgetxattr: (fd, name, value) => get(fd, terminated('fgetxattr', name), value, value.length),
    fsetxattr: (fd, name, value) => set(fd, terminated('fsetxattr', name), value, value.length, 0),
    fremovexattr: (fd, name) => remove(fd, terminated('fremovexattr', name)),
    futimens: bound('int futimens(int fd, const uint8_t *times)'),
    utimensat: (folder, path, both, flags) => times(folder, terminated('utimensat', path), both, flags),
  };
}

/** The same number on every machine. */
const SYS_CACHESTAT = 451;

function bindUncached(
  koffi: typeof Koffi,
  library: Koffi.LibraryHandle,
  bound: (definition: string) => NativeCall,
): Pick<Libc, 'preadv2' | 'pwritev2' | 'cachestat'> {
  const vector = koffi.pointer(koffi.struct({ base: 'uint8_t *', length: 'size_t' }));
  const flagged = (name: string): Libc['preadv2'] => {
    const call = orAbsent(() => library.func(name, 'int64_t', ['int', vector, 'int', 'int64_t', 'int']));
    return (fd, bytes, position, flags) => {
      const answer = Number(call?.(fd, { base: bytes, length: bytes.length }, 1, position, flags) ?? NaN);
      if (Number.isNaN(answer)) return -constants.errno.ENOSYS;
      return answer < 0 ? -koffi.errno() : answer;
    };
  };
  const syscall = bound('int64_t syscall(int64_t number, int64_t fd, uint8_t *range, uint8_t *counts, int64_t flags)');
  return {
    preadv2: uninterrupted(flagged('preadv2')),
    pwritev2: uninterrupted(flagged('pwritev2')),
    cachestat: (fd, range, counts) => syscall(SYS_CACHESTAT, fd, range, counts, 0),
  };
}

function orAbsent<T>(bind: () => T): T | undefined {
  try {
    return bind();
  } catch {
    // A C library without the function is like a kernel without it: its callers have a way around it.
    return undefined;
  }
}

function terminated(syscall: string, path: PathBytes): Buffer {
  const bytes = Buffer.from(path);
  if (bytes.includes(0)) throw errnoError(syscall, -constants.errno.EINVAL, path);
  return Buffer.concat([bytes, Buffer.alloc(1)]);
}
