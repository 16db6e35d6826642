/**
 * The XML of S3 answers, read as from a stranger: the caller bounds its length, here its depth is bounded, nothing is
 * expanded, and a document that is cut short is none. The parser is loaded when there is something to parse, which in a
 * download there never is.
 */
import type { XMLParser } from 'fast-xml-parser';
import { TransferError } from '../../core/errors.js';

const LISTS = ['Part', 'Upload'];
const DEPTH_MAX = 16;

let loading: Promise<XMLParser> | undefined;

async function loadParser(): Promise<XMLParser> {
  const { XMLParser } = await import('fast-xml-parser');
  return new XMLParser({
    ignoreAttributes: true,
    parseTagValue: false,
    processEntities: false,
    // Keys may begin and end with blanks.
    trimValues: false,
    maxNestedTags: DEPTH_MAX,
    isArray: (name) => LISTS.includes(name),
  });
}

/** An element: its text, or what is in it. */
export type XmlNode = string | { readonly [name: string]: XmlNode | readonly XmlNode[] };

/** The content of the root element, if that has this name. @throws TransferError E_PROTOCOL for what is no XML */
export async function readXml(text: string, root: string, name: string): Promise<XmlNode | undefined> {
  loading ??= loadParser();
  const parser = await loading;
  try {
    if (/<!(DOCTYPE|ENTITY)/i.test(text)) throw new Error('it has a document type of its own');
    // Spaces before it keep a connection alive.
    const document = parser.parse(text.trim(), true) as Record<string, XmlNode>;
    return Object.hasOwn(document, root) ? document[root] : undefined;
  } catch (cause) {
    throw new TransferError('E_PROTOCOL', `${name}: the server's answer is not the XML that it should be`, {
      hint: 'Check the endpoint, and the proxies before it.',
      cause: cause instanceof Error ? cause.message : String(cause),
    });
  }
}

/** The text of an element inside another; undefined when there is none. */
export function textOf(node: XmlNode | undefined, name: string): string | undefined {
  if (typeof node !== 'object' || !Object.hasOwn(node, name)) return undefined;
  const found = node[name];
  return typeof found === 'string' ? unescaped(found) : undefined;
}

/** All elements of that name inside another. */
export function nodesOf(node: XmlNode | undefined, name: string): readonly XmlNode[] {
  if (typeof node !== 'object' || !Object.hasOwn(node, name)) return [];
  const found = node[name];
  return Array.isArray(found) ? found : [];
}

const NAMED: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/** The five that XML itself knows, and characters by number; nothing that grows. */
function unescaped(text: string): string {
  return text.replace(/&(?:(amp|lt|gt|quot|apos)|#(\d{1,7})|#x([0-9a-fA-F]{1,6}));/g, (whole, named, decimal, hex) => {
    if (named !== undefined) return NAMED[named] ?? whole;
    const code = decimal !== undefined ? Number(decimal) : Number.parseInt(hex, 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}

/** For what we send. */
export function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
}
