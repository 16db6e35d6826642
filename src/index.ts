/**
 * The public API: `copy` moves one file between any two locations and proves it, `copyTree` several files and folders,
 * `verify` and `verifyTree` compare them, `status` tells what a partial copy holds, `leftovers` what a server keeps of
 * unfinished uploads, `benchmark` what storage can do; `openService` opens the queue of jobs;
 * `openDisk`, `describeDisk`, `mapDisk`, `checkDisk`, `diskDigest`, `mergeDisk` and `setDiskParent` are about disk
 * images.
 * Each runs on threads of its own, which end with it. What a plain copy does not need is loaded when it is asked for.
 */
export { type BenchmarkOptions, benchmark } from './api/benchmark.js';
export { CopyRun, copy } from './api/copy.js';
export { type CopyTreeOptions, CopyTreeRun, copyTree } from './api/copy-tree.js';
export {
  checkDisk,
  type DiskDigestOptions,
  type DiskOptions,
  describeDisk,
  diskDigest,
  type MapDiskOptions,
  type MergeDiskOptions,
  mapDisk,
  mergeDisk,
  type SetDiskParentOptions,
  setDiskParent,
} from './api/disk.js';
export { type LeftoversOptions, leftovers } from './api/leftovers.js';
export { type Machines, type MachinesOptions, openMachines } from './api/machines.js';
export { type MigrationsOptions, openMigrations } from './api/migrations.js';
export { Disk, type DiskLink, type OpenDiskOptions, openDisk } from './api/open-disk.js';
export type { CopyOptions, Reflink } from './api/options.js';
export { Run } from './api/run.js';
export { openService, type ServiceOptions } from './api/service.js';
export { status } from './api/status.js';
export { type VerifyOptions, verify, verifyTree } from './api/verify.js';
export type { Benchmark } from './benchmark/benchmark.js';
export type { BenchmarkReport } from './benchmark/report.js';
export type { ByteRange } from './core/chunk.js';
export type { Algorithm, DigestOf } from './core/digest.js';
export type { Extent } from './core/endpoint.js';
export { type ErrorCode, type ErrorJson, TransferError } from './core/errors.js';
export type * from './core/events.js';
export type { HttpOptions } from './core/http-options.js';
export type { PartialOnRecord } from './core/target.js';
export type { FileFailure, PlannedFile } from './core/tree.js';
export type { CheckedImage, DiskCheck } from './disk/check.js';
export type { ChainDescription, DiskDescription } from './disk/describe.js';
export type { DiskExtent, DiskMap, DiskMapCell } from './disk/disk-map.js';
export type { DiskFormat, Finding, ParentLink, Severity } from './disk/image.js';
export type { LayoutKind } from './disk/layout.js';
export type { Merged } from './disk/merge.js';
export type { ParentChanged } from './disk/set-parent.js';
export type { Leftover } from './endpoint/registry.js';
export type { CopyOptions as JobCopyOptions } from './service/copy-options.js';
export type { FileState, JobKind, JobSettings, Priority, Webhook } from './service/job.js';
export type * from './service/job-service.js';
export type { Policy } from './service/policy/policy.js';
export type { Told } from './service/told.js';
export type { Checksum, ChecksumRequest } from './transfer/checksum.js';
export type { ChunkMapView, ChunkState } from './transfer/chunk-map.js';
export type { DigestResult, DiskDigest } from './transfer/disk/digest-job.js';
export type { MergeResult } from './transfer/disk/merge-job.js';
export type { PartialStatus } from './transfer/partial-status.js';
export type { TransferResult } from './transfer/transfer-result.js';
export type { VerifyResult } from './transfer/verify.js';
export type { TreeResult } from './tree/tree-copy.js';
export type { ListedProblem, TreeVerifyResult } from './tree/verify-report.js';
