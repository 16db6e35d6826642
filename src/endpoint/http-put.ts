/**
 * Targets on web servers, by PUT. Which way depends on what the server really does: ranges of a partial file, or all of
 * it at once, to a partial file that is then moved to its name, or straight to the name.
 */
import { openHttpSource } from './http.js';
import type { EndpointScheme } from './registry.js';
import { discardUpload, finishUpload, prepareUpload, type UploadPartRef } from './upload/part.js';
import { committedAt, locateUpload, type UploadRef } from './upload/site.js';
import { attachUpload } from './upload/target.js';

export type TargetHalf = Pick<
  EndpointScheme,
  'locateTarget' | 'prepareTarget' | 'attachTarget' | 'discardPartial' | 'finishCommit' | 'openCommittedSource'
>;

/** @param threads among which the connections are divided */
export function httpTargets(threads = 1): TargetHalf {
  return {
    locateTarget: (location, sourceName) => locateUpload(location, sourceName, threads),
    prepareTarget: (ref, request) => prepareUpload(ref as UploadRef, request),
    attachTarget: (ref) => attachUpload(ref as UploadPartRef, { threads }),
    discardPartial: (ref) => discardUpload(ref as UploadRef),
    finishCommit: (ref, part) => finishUpload(ref as UploadRef, part),
    openCommittedSource: (ref) => openHttpSource(committedAt(ref as UploadRef)),
  };
}
