/**
 * What a WebDAV server says of one resource (RFC 4918 §14.16), read with care: bounded, without entities but the five
 * that XML has, and by namespaces, whatever the prefixes are.
 */
import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { TransferError } from '../../core/errors.js';

/** The properties that it has, as they were written; of what it has not, nothing is said. */
export interface DavProperties {
  /** Of the resource itself, where it has one: 404, and the like. */
  readonly status?: number;
  readonly collection: boolean;
  /** `getcontentlength`, `getetag`, `getlastmodified`, `quota-available-bytes`: text by name. */
  readonly text: ReadonlyMap<string, string>;
}

interface Element {
  /** Without prefix; of another namespace than DAV: it is empty. */
  readonly name: string;
  readonly children: readonly Element[];
  readonly text: string;
}

const DEPTH_MAX = 32;
const ATTRIBUTES = ':@';
const TEXT = '#text';

type Scope = ReadonlyMap<string, string>;
type ParsedNode = Readonly<Record<string, unknown>>;

/** @throws TransferError E_PROTOCOL for what is not an answer about the path alone */
export function readMultistatus(name: string, xml: string, path: string): DavProperties {
  const [root, ...others] = elementsOf(name, xml);
  if (root?.name !== 'multistatus' || others.length > 0) throw notDav(name, 'its answer is no list of properties');
  const responses = childrenOf(root, 'response');
  const ours = responses.length === 1 ? responses : responses.filter((one) => isAbout(one, path));
  const [response] = ours;
  if (response === undefined || ours.length > 1) throw notDav(name, `it answers for ${responses.length} files`);
  const status = statusOf(response);
  const text = new Map<string, string>();
  let collection = false;
  const known = childrenOf(response, 'propstat').filter((one) => (statusOf(one) ?? 200) === 200);
  if (status === undefined && known.length === 0) throw notDav(name, 'it tells no property');
  for (const propstat of known) {
    for (const property of childrenOf(propstat, 'prop').flatMap(({ children }) => children)) {
      if (property.name === 'resourcetype') collection ||= childrenOf(property, 'collection').length > 0;
      else if (property.name !== '' && !text.has(property.name)) text.set(property.name, property.text);
    }
  }
  return { collection, text, ...(status !== undefined && { status }) };
}

function elementsOf(name: string, xml: string): Element[] {
  // Nobody needs one here, and it is the door for entities that grow without bounds or name files.
  if (/<!DOCTYPE|<!ENTITY/i.test(xml)) throw notDav(name, 'its answer brings a document type');
  const parser = new XMLParser({
    preserveOrder: true,
    ignoreAttributes: false,
    attributeNamePrefix: '',
    processEntities: false,
    parseTagValue: false,
    maxNestedTags: DEPTH_MAX,
  });
  try {
    // The parser itself takes what was cut off.
    if (XMLValidator.validate(xml) !== true) throw notDav(name, 'its answer is no XML that is whole');
    return childElements(parser.parse(xml) as readonly ParsedNode[], new Map());
  } catch (cause) {
    throw cause instanceof TransferError ? cause : notDav(name, 'its answer is no XML that can be read', cause);
  }
}

function childElements(nodes: readonly ParsedNode[], outer: Scope): Element[] {
  const elements: Element[] = [];
  for (const node of nodes) {
    const tag = Object.keys(node).find((key) => key !== ATTRIBUTES);
    const content = tag === undefined ? undefined : node[tag];
    if (tag === undefined || tag.startsWith('?') || !Array.isArray(content)) continue;
    const scope = scopeOf(node[ATTRIBUTES], outer);
    const [prefix, local] = tag.includes(':') ? (tag.split(':', 2) as [string, string]) : ['', tag];
    const texts = (content as readonly ParsedNode[]).map((child) => child[TEXT] ?? '').join('');
    elements.push({
      name: scope.get(prefix) === 'DAV:' ? local : '',
      children: childElements(content, scope),
      text: unescaped(texts.trim()),
    });
  }
  return elements;
}

/** The namespaces in force inside an element, by prefix. */
function scopeOf(attributes: unknown, outer: Scope): Scope {
  const declared = Object.entries((attributes ?? {}) as Record<string, unknown>).filter(([key]) =>
    /^xmlns(:|$)/.test(key),
  );
  if (declared.length === 0) return outer;
  return new Map([...outer, ...declared.map(([key, value]) => [key.slice(6), unescaped(String(value))] as const)]);
}

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

function unescaped(text: string): string {
  return text.replace(/&(?:#x([0-9a-f]{1,6})|#(\d{1,7})|(lt|gt|amp|quot|apos));/gi, (whole, hex, decimal, named) => {
    if (named !== undefined) return ENTITIES[named] ?? whole;
    const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}

function childrenOf(element: Element, name: string): readonly Element[] {
  return element.children.filter((child) => child.name === name);
}

/** The number in a status line such as `HTTP/1.1 404 Not Found`. */
function statusOf(element: Element): number | undefined {
  const [line] = childrenOf(element, 'status');
  const status = /^HTTP\/[\d.]+ (\d{3})\b/.exec(line?.text ?? '')?.[1];
  return status === undefined ? undefined : Number(status);
}

function isAbout(response: Element, path: string): boolean {
  const [href] = childrenOf(response, 'href');
  return href !== undefined && plainPath(href.text) === plainPath(path);
}

/** Servers write one path in several ways. */
function plainPath(href: string): string {
  try {
    return decodeURIComponent(href.replace(/^https?:\/\/[^/]*/, '')).replace(/\/+$/, '');
  } catch (thrown) {
    if (thrown instanceof URIError) return href;
    throw thrown;
  }
}

export function notDav(name: string, why: string, cause?: unknown): TransferError {
  return new TransferError('E_PROTOCOL', `${name}: the server does not speak WebDAV as it should: ${why}`, {
    hint: 'Check the URL, and what answers there: server, proxy or another service.',
    ...(cause !== undefined && { cause }),
  });
}
