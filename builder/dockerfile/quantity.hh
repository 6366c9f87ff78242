// Owns: reading the quantities of a Dockerfile: durations, sizes, booleans, numbers.
// Does not own: defaults or limits.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace kiln::dockerfile {

// Go's notation: "1h30m", "1.5s", "300ms", "0". nullopt when malformed or out of range.
std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text);
// "64m", "1.5GiB", "4096": bytes, units of 1024. nullopt when malformed, negative or out of range.
std::optional<int64_t> parse_size(std::string_view text);
// 1, t, true, 0, f, false (as Go's ParseBool).
std::optional<bool> parse_boolean(std::string_view text);
// The whole text as digits of `base`, within 32 bits.
std::optional<uint32_t> parse_number(std::string_view text, int base = 10);

}  // namespace kiln::dockerfile
