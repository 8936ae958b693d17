import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'

/** In PEM. */
export type Certificates = {
  /** What a client must trust. */
  authority: string
  certificate: string
  key: string
}

/** A certificate authority of one's own, and a certificate of it for a server on loopback. Good for a day. */
export function makeCertificates(): Certificates {
  const [authority, server] = [makeKeys(), makeKeys()]
  const issuer = nameOf('Fake KurrentDB authority')
  const of = (subject: Buffer, { publicKey }: Keys, extensions: Buffer[]) =>
    toPem('CERTIFICATE', signed({ issuer, subject, publicKey, extensions }, authority.privateKey))
  return {
    authority: of(issuer, authority, [extension(ids.basicConstraints, sequence(der(0x01, [0xff])))]),
    certificate: of(nameOf('127.0.0.1'), server, [
      extension(ids.alternativeNames, sequence(der(0x87, [127, 0, 0, 1]), der(0x82, Buffer.from('localhost')))),
      extension(ids.extendedKeyUsage, sequence(der(0x06, ids.serverAuthentication))),
    ]),
    key: server.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

type Keys = { publicKey: KeyObject; privateKey: KeyObject }

const makeKeys = (): Keys => generateKeyPairSync('ec', { namedCurve: 'P-256' })

/** Object identifiers, encoded. */
const ids = {
  commonName: Buffer.from('550403', 'hex'),
  ecdsaWithSha256: Buffer.from('2a8648ce3d040302', 'hex'),
  basicConstraints: Buffer.from('551d13', 'hex'),
  alternativeNames: Buffer.from('551d11', 'hex'),
  extendedKeyUsage: Buffer.from('551d25', 'hex'),
  serverAuthentication: Buffer.from('2b06010505070301', 'hex'),
}

/** One value in DER (ITU-T X.690): Node.js can read certificates, but not make them. */
function der(tag: number, content: Uint8Array | readonly number[]): Buffer {
  const { length } = content
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.from([tag, ...size, ...content])
}

const sequence = (...parts: Buffer[]) => der(0x30, Buffer.concat(parts))

const nameOf = (text: string) => sequence(der(0x31, sequence(der(0x06, ids.commonName), der(0x0c, Buffer.from(text)))))

const extension = (id: Buffer, value: Buffer) => sequence(der(0x06, id), der(0x04, value))

const time = (ms: number) =>
  der(0x17, Buffer.from(`${new Date(ms).toISOString().replaceAll(/[-:T]/g, '').slice(2, 14)}Z`))

type Contents = { issuer: Buffer; subject: Buffer; publicKey: KeyObject; extensions: Buffer[] }

/** A version 3 certificate (RFC 5280). */
function signed({ issuer, subject, publicKey, extensions }: Contents, key: KeyObject): Buffer {
  const dayMs = 24 * 60 * 60 * 1_000
  const algorithm = sequence(der(0x06, ids.ecdsaWithSha256))
  const contents = sequence(
    der(0xa0, der(0x02, [2])),
    der(0x02, [1, ...randomBytes(8)]),
    algorithm,
    issuer,
    sequence(time(Date.now() - dayMs), time(Date.now() + dayMs)),
    subject,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensions)),
  )
  return sequence(contents, algorithm, der(0x03, [0, ...sign('sha256', contents, key)]))
}

function toPem(label: string, content: Buffer): string {
  const lines = content.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}
