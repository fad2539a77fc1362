import type { SettingProblem } from './load.js'
import type { Config } from './schema.js'

/** The rules between the settings of TURN. `path` is their section. */
export function checkTurn(turn: Config['p2p']['turn'], path: string): SettingProblem[] {
  const problems: SettingProblem[] = []
  if (turn.urls.length > 0 && turn.secret === null)
    problems.push({
      path: `${path}.urls`,
      problem: `needs ${path}.secret: the static-auth-secret of these servers`,
    })
  if (turn.secret !== null && turn.urls.length === 0)
    problems.push({ path: `${path}.secret`, problem: `needs ${path}.urls: the servers that share it` })
  if (turn.previousSecret !== null && turn.secret === null)
    problems.push({ path: `${path}.previousSecret`, problem: `needs ${path}.secret, which replaces it` })
  return problems
}
