/** Objects of S3 and of what speaks its language: `s3://bucket/key?endpoint=…&region=…` (docs/s3.md). */
import type { EndpointRef } from '../core/endpoint.js';
import type { EndpointScheme } from './registry.js';
import { s3Leftovers } from './s3/leftovers.js';
import type { S3Place } from './s3/place.js';
import { attachS3Source, openPlace, openS3Source } from './s3/source.js';
import {
  attachS3Target,
  discardS3Partial,
  finishS3Commit,
  layOutS3Target,
  locateS3Target,
  prepareS3Target,
} from './s3/target.js';

export function s3Scheme(): EndpointScheme {
  return {
    openSource: openS3Source,
    attachSource: attachS3Source,
    openCommittedSource: (target: EndpointRef) => openPlace((target as EndpointRef & { place: S3Place }).place),
    locateTarget: locateS3Target,
    layOutTarget: layOutS3Target,
    prepareTarget: prepareS3Target,
    attachTarget: attachS3Target,
    discardPartial: discardS3Partial,
    finishCommit: finishS3Commit,
    leftovers: s3Leftovers,
  };
}
