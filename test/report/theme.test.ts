import t from 'tap';
import { palette, themeStyle } from '../../lib/report/theme.js';

t.test('light and dark name the same colours, one for each of the palette', async (t) => {
  const [light, dark] = themeStyle().split('@media (prefers-color-scheme: dark)');
  const names = (style: string) => [...style.matchAll(/--([\w-]+): #[0-9a-f]{6}\b/g)].map((match) => match[1]);
  t.same(names(light!), names(dark!));
  t.equal(names(light!).filter((name) => name!.startsWith('series-')).length, palette.length);
});
