# The fallback where there is no CMake: the same sources without CUDA, MPI and NCCL. CMakeLists.txt is the main build.
{
  "targets": [
    {
      "target_name": "apollo",
      "sources": [ "<!@(node -p \"['addon','core','cpu'].flatMap(d => fs.readdirSync('native/'+d, {recursive: true}).filter(f => f.endsWith('.cc')).map(f => 'native/'+d+'/'+f)).join(' ')\")", "<!@(node -p \"fs.readdirSync('native/comm').filter(f => f.endsWith('.cc')).map(f => 'native/comm/'+f).join(' ')\")" ],
      "include_dirs": [ "native", "<!(node -p \"require('node-addon-api').include_dir\")" ],
      "defines": [
        "NAPI_VERSION=9", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED", "NAPI_CPP_EXCEPTIONS", "NODE_ADDON_API_CPP_EXCEPTIONS_ALL", "HWY_SHARED_DEFINE",
        "APOLLO_VERSION=\"<!(node -p \"require('./package.json').version\")\"",
        "APOLLO_ABI=<!(node scripts/abi.mjs)"
      ],
      "cflags!": [ "-fno-exceptions" ],
      "cflags_cc!": [ "-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20" ],
      "cflags_cc": [ "-std=c++20", "-O3", "-fopenmp", "-fvisibility=hidden", "-fvisibility-inlines-hidden" ],
      "ldflags": [ "-fopenmp" ],
      "libraries": [ "-ldnnl", "-lhwy", "-ldl" ]
    }
  ]
}
