import { describeCryptoProvider } from '../../test/crypto-provider-suite.ts';
import { nobleProvider } from './noble-provider.ts';

describeCryptoProvider('noble provider', nobleProvider);
