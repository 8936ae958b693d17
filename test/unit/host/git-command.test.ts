import { expect, it } from 'vitest'
import { gitWriter } from '../../../src/host/git-command.ts'

it.each([
  ['git commit -m x', 'commit'],
  ['/usr/bin/git push origin main', 'push'],
  ['git -C /srv/work -c user.name=commit --no-pager rebase main', 'rebase'],
  ['git --git-dir=/srv/x.git --work-tree /srv/x checkout main', 'checkout'],
  ['/usr/lib/git-core/git gc --auto --detach', 'gc'],
  ['git-receive-pack /srv/x.git', 'receive-pack'],
])('[R7] %s changes a repository', (line, command) => {
  expect(gitWriter(line.split(' '))).toBe(command)
})

it.each([
  'git',
  'git --version',
  'git log -- commit',
  'git -C commit status',
  'git -c alias.x=push diff',
  'git-upload-pack /srv/x.git',
  'gitk commit',
  'sh -c git commit',
  'vim git commit',
  '',
])('[R7] %j does not', (line) => {
  expect(gitWriter(line.split(' '))).toBeUndefined()
})
