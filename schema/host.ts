import type { HostReport } from '../src/domain/host-link.ts'
import { builder } from './builder.ts'
import { ProofLevelType } from './receipt.ts'

const HostCheck = builder.objectRef<HostReport['checks'][number]>('HostCheck').implement({
  description: 'Something a host needs, or can make use of.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'What was looked at.' }),
    ok: t.exposeBoolean('ok', { description: 'It is as it should be.' }),
    detail: t.exposeString('detail', { description: 'What was found; where it is not ok, the way out.' }),
  }),
})

const HostSlots = builder.objectRef<HostReport['slots']>('HostSlots').implement({
  description: "A host's capacity, in runs.",
  fields: (t) => ({
    capacity: t.exposeInt('capacity', { description: 'Runs that may live at once.' }),
    used: t.exposeInt('used', { description: 'Places that are taken.' }),
    waiting: t.exposeInt('waiting', { description: 'Runs that wait for a place.' }),
  }),
})

const DiskSpace = builder.objectRef<HostReport['disks'][number]>('DiskSpace').implement({
  description: 'A file system that a host writes to, as it was seen last.',
  fields: (t) => ({
    place: t.exposeString('place', { description: 'The first of its places there; it names the alerts.' }),
    path: t.exposeString('path', { description: 'Where that place is.' }),
    places: t.exposeStringList('places', { description: 'All places of the host on it, such as `data` and `runs`.' }),
    freeBytes: t.exposeFloat('freeBytes', {
      nullable: true,
      description: 'What an ordinary account may still write; null: not seen yet, or it does not answer.',
    }),
    totalBytes: t.exposeFloat('totalBytes', { nullable: true, description: 'Its size for an ordinary account.' }),
    seenAt: t.expose('seenAt', { type: 'DateTime', nullable: true, description: 'When it was seen.' }),
    failure: t.exposeString('failure', { nullable: true, description: 'Why it cannot be seen now.' }),
  }),
})

const Host = builder.objectRef<HostReport>('Host').implement({
  description: 'A machine whose agent supervises runs.',
  fields: (t) => ({
    id: t.exposeID('hostId', { description: '`host_` and 12 hex digits.' }),
    hostname: t.exposeString('hostname', { description: 'Its own name.' }),
    platform: t.exposeString('platform', { description: 'Operating system and architecture.' }),
    bootId: t.exposeString('bootId', { description: 'Which boot of the machine this is.' }),
    level: t.expose('level', { type: ProofLevelType, description: 'How strong a proof of death it can give.' }),
    levelDetail: t.exposeString('levelDetail', { description: 'Why the level is what it is.' }),
    checks: t.expose('checks', { type: [HostCheck], description: 'What was found on it.' }),
    slots: t.expose('slots', { type: HostSlots, description: 'Its capacity.' }),
    disks: t.expose('disks', { type: [DiskSpace], description: 'The file systems that it writes to.' }),
  }),
})

builder.queryField('hosts', (t) =>
  t.field({
    type: [Host],
    description: 'The machines that supervise runs.',
    resolve: (_root, _args, { control }) => control.hosts(),
  }),
)
