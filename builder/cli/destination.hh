// Owns: files that a command writes whole or not at all, and standard output in their place.
// Does not own: what is written.
#pragma once

#include <functional>
#include <string>

#include "builder/layer/stream.hh"

namespace kiln::cli {

// `write` fills a temporary file beside `destination`, which then takes its name; after an
// exception nothing is left. "-" is standard output, refused when that is a terminal.
void write_whole_file(const std::string& destination, const std::function<void(ByteSink&)>& write);

}  // namespace kiln::cli
