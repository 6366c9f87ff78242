// Owns: making one overlay lower out of a run of them, by hard links: nothing is copied but
// directories. Does not own: when that pays.
#pragma once

#include <string>
#include <vector>

namespace kiln {

// `names` are directories inside `trees`, top first; `to` is an empty directory of the same
// filesystem. Whiteouts and opaque marks stay, since more lowers follow below. Throws SysError.
void merge_lowers(int trees, const std::vector<std::string>& names, int to);

}  // namespace kiln
