-- wrk script: posts the JPEG files listed in $WRK_IMAGES (one path a line) in turn, and prints one line of JSON.
local bodies, position = {}, 0

function init(args)
   for path in io.lines(os.getenv("WRK_IMAGES")) do
      local file = assert(io.open(path, "rb"))
      bodies[#bodies + 1] = file:read("*a")
      file:close()
   end
end

function request()
   position = position % #bodies + 1
   return wrk.format("POST", nil, { ["Content-Type"] = "image/jpeg" }, bodies[position])
end

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      '{"requests":%d,"seconds":%.6f,"p50_ms":%.3f,"p99_ms":%.3f,"status_errors":%d,"socket_errors":%d}\n',
      summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
      errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
