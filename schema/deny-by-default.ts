import SchemaBuilder, { BasePlugin, type PothosTypeConfig, type SchemaTypes } from '@pothos/core'

/** The name under which the plugin is listed in the builder, before scope-auth. */
export const denyByDefault = 'denyByDefault'

declare global {
  export namespace PothosSchemaTypes {
    export interface Plugins<Types extends SchemaTypes> {
      denyByDefault: DenyByDefault<Types>
    }
  }
}

/**
 * Gives every type with fields the scope `authenticated`, unless it names scopes of its own: a type that somebody adds
 * and forgets to protect is protected.
 */
class DenyByDefault<Types extends SchemaTypes> extends BasePlugin<Types> {
  override onTypeConfig(config: PothosTypeConfig): PothosTypeConfig {
    if (config.graphqlKind !== 'Object' && config.graphqlKind !== 'Interface') return config
    const options: { authScopes?: object } = config.pothosOptions
    options.authScopes ??= { authenticated: true }
    return config
  }
}

SchemaBuilder.registerPlugin(denyByDefault, DenyByDefault)
