import { z } from 'zod'

/** Names and values that whoever started a run, or defined a workflow, attached to it for their own use. */
export const labelsSchema = z
  .record(z.string().min(1).max(100), z.string().max(500))
  .refine((labels) => Object.keys(labels).length <= 50, 'has more than 50 labels')
