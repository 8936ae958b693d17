// A FUSE file system that takes every request and answers none: whoever touches it waits uninterruptibly (state D) and
// outlives SIGKILL, as with an NFS server that is gone. When this program ends, the kernel lets everybody go.
// Linux, root. Says {"mounted": true} once it is there, then {"holds": pid} of everybody who can go back no more.
//   node hanging-filesystem.ts MOUNT_POINT
import { spawnSync } from 'node:child_process'
import { openSync, readSync, writeSync } from 'node:fs'

const [mountPoint = ''] = process.argv.slice(2)
const fuse = openSync('/dev/fuse', 'r+')
const options = 'fd=3,rootmode=40000,user_id=0,group_id=0'
const mounted = spawnSync('mount', ['-i', '-t', 'fuse', '-o', options, 'hanging', mountPoint], {
  stdio: ['ignore', 'ignore', 'inherit', fuse],
})
if (mounted.status !== 0) process.exit(1)

/** fuse_in_header: len, opcode, unique, nodeid, uid, gid, pid of linux/fuse.h; in the machine's byte order, which is taken to be little. */
const request = Buffer.alloc(1 << 20)
readSync(fuse, request)
// The first one is FUSE_INIT, and must be answered: fuse_out_header, and fuse_init_out of protocol 7.31.
const answer = Buffer.alloc(16 + 64)
answer.writeUInt32LE(answer.length, 0)
request.copy(answer, 8, 8, 16)
answer.writeUInt32LE(7, 16)
answer.writeUInt32LE(31, 20)
// FUSE_PARALLEL_DIROPS: else only the first of many gets as far as a request.
answer.writeUInt32LE(1 << 18, 28)
answer.writeUInt32LE(4096, 36)
writeSync(fuse, answer)
process.stdout.write('{"mounted":true}\n')
// A process cannot take back a request that was read.
for (;;) {
  readSync(fuse, request)
  process.stdout.write(`${JSON.stringify({ holds: request.readUInt32LE(32) })}\n`)
}
