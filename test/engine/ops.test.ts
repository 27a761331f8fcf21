import t from 'tap';
import { openDevice } from '../../lib/engine/device.js';
import { opSuite } from '../suites/ops.js';
import { tapRunner } from '../suites/suite.js';

const device = await openDevice({ threads: 2 });
t.teardown(() => device.close());
opSuite(tapRunner(t), device);
